# The macros that an extension's CMakeLists.txt may call.

option(BUILD_TESTING "Build the tests" OFF)
if(BUILD_TESTING)
  enable_testing()
endif()

# One file to the build tree at configure time, and to the install tree.
function(_stand_in_place_file source destination_subfolder relative_name)
  get_filename_component(folder "${relative_name}" DIRECTORY)
  configure_file("${source}"
    "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}${destination_subfolder}/${relative_name}" COPYONLY)
  install(FILES "${source}"
    DESTINATION "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}${destination_subfolder}/${folder}"
    COMPONENT RuntimeLibraries)
endfunction()

# NAME, SCRIPTS, RESOURCES, WITH_GENERIC_TESTS, WITH_SUBDIR, VERBOSE as documented:
# - a listed file that does not exist stops the configuration; a script may be listed without its .py;
# - WITH_SUBDIR adds the name of the source folder below qt-scripted-modules;
# - a script outside the source folder is not installed (here it is refused, in Slicer it is lost without a word).
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(_module "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(_module_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule: unknown arguments ${_module_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT DEFINED _module_NAME)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule: NAME is mandatory")
  endif()
  set(_module_subfolder "")
  if(_module_WITH_SUBDIR)
    get_filename_component(_module_subfolder "${CMAKE_CURRENT_SOURCE_DIR}" NAME)
    set(_module_subfolder "/${_module_subfolder}")
  endif()
  foreach(_module_file IN LISTS _module_SCRIPTS _module_RESOURCES)
    if(_module_file MATCHES "^\\.\\." OR IS_ABSOLUTE "${_module_file}")
      message(FATAL_ERROR "${_module_NAME}: '${_module_file}' lies outside the module's folder and would not be installed")
    endif()
    set(_module_source "${CMAKE_CURRENT_SOURCE_DIR}/${_module_file}")
    if(NOT EXISTS "${_module_source}" AND EXISTS "${_module_source}.py")
      string(APPEND _module_source ".py")
      string(APPEND _module_file ".py")
    endif()
    if(NOT EXISTS "${_module_source}")
      message(FATAL_ERROR "${_module_NAME}: nonexistent file '${_module_file}' is listed")
    endif()
    _stand_in_place_file("${_module_source}" "${_module_subfolder}" "${_module_file}")
  endforeach()
  if(_module_WITH_GENERIC_TESTS AND NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${_module_NAME}.py")
    message(FATAL_ERROR "${_module_NAME}: WITH_GENERIC_TESTS needs ${_module_NAME}.py")
  endif()
endmacro()

# Records the test; there is no application to run it in.
function(slicer_add_python_unittest)
  cmake_parse_arguments(_test "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS" ${ARGN})
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${_test_SCRIPT}")
    message(FATAL_ERROR "slicer_add_python_unittest: no ${_test_SCRIPT}")
  endif()
  set_property(GLOBAL APPEND PROPERTY STAND_IN_UNITTESTS "${_test_SCRIPT}")
endfunction()
